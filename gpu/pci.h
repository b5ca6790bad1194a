#pragma once
/* PCI addresses: "0000:65:00.0" as the kernel writes them, "00000000:65:00.0" as NVML does. */
#include "core/sv.h"

enum { PCI_TEXT_MAX = 15 }; /* "ffffffff:ff:1f.7" would be 16, but Linux numbers domains from 0 */

struct pci_address {
	uint32_t domain;
	uint8_t bus, device, function;
};

/* Any case, domain of 4 to 8 digits. -EINVAL. */
int pci_parse(struct sv text, struct pci_address *out) NODISCARD;
/* Lower case, domain of at least 4 digits. -ERANGE when it does not fit. */
int pci_format(const struct pci_address *a, char out[PCI_TEXT_MAX + 1]) NODISCARD;
/* Both in one: the kernel's spelling of any spelling. */
int pci_normalise(struct sv text, char out[PCI_TEXT_MAX + 1]) NODISCARD;
int pci_cmp(const struct pci_address *a, const struct pci_address *b);
/* By address; text that is no address goes last, in byte order. */
int pci_cmp_text(const char *a, const char *b);
