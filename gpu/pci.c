#include "gpu/pci.h"

#include <errno.h>

static int pci_hex(struct sv s, size_t least, size_t most, uint32_t *out)
{
	uint32_t v = 0;
	size_t i;

	if (s.n < least || s.n > most)
		return -EINVAL;
	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			v = v << 4 | (uint32_t)(c - 'A' + 10);
		else
			return -EINVAL;
	}
	*out = v;
	return 0;
}

int pci_parse(struct sv text, struct pci_address *out)
{
	uint32_t domain, bus, device, function;
	struct sv rest = text;

	if (pci_hex(sv_cut(&rest, ':'), 4, 8, &domain) < 0 ||
	    pci_hex(sv_cut(&rest, ':'), 2, 2, &bus) < 0 ||
	    pci_hex(sv_cut(&rest, '.'), 2, 2, &device) < 0 || device > 0x1f ||
	    pci_hex(rest, 1, 1, &function) < 0 || function > 7)
		return -EINVAL;
	*out = (struct pci_address){ domain, (uint8_t)bus, (uint8_t)device, (uint8_t)function };
	return 0;
}

int pci_format(const struct pci_address *a, char out[PCI_TEXT_MAX + 1])
{
	int n;

	n = snprintf(out, PCI_TEXT_MAX + 1, "%04x:%02x:%02x.%x", (unsigned)a->domain,
		     (unsigned)a->bus, (unsigned)a->device, (unsigned)a->function);
	if (n < 0 || n > PCI_TEXT_MAX) {
		out[0] = '\0';
		return -ERANGE;
	}
	return 0;
}

int pci_normalise(struct sv text, char out[PCI_TEXT_MAX + 1])
{
	struct pci_address a;
	int r;

	out[0] = '\0';
	r = pci_parse(text, &a);
	if (r < 0)
		return r;
	return pci_format(&a, out);
}

static int pci_cmp_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

int pci_cmp(const struct pci_address *a, const struct pci_address *b)
{
	int r;

	r = pci_cmp_u32(a->domain, b->domain);
	if (r == 0)
		r = pci_cmp_u32(a->bus, b->bus);
	if (r == 0)
		r = pci_cmp_u32(a->device, b->device);
	if (r == 0)
		r = pci_cmp_u32(a->function, b->function);
	return r;
}

int pci_cmp_text(const char *a, const char *b)
{
	struct pci_address pa, pb;
	bool bad_a = pci_parse(sv_str(a), &pa) < 0;
	bool bad_b = pci_parse(sv_str(b), &pb) < 0;

	if (bad_a || bad_b)
		return bad_a && bad_b ? strcmp(a, b) : (int)bad_a - (int)bad_b;
	return pci_cmp(&pa, &pb);
}
