/* Kernel events: what is taken is what other code may join with a path and print. */
#include "core/uevent.h"
#include "test/fuzz/fuzz.h"

static void inside(struct sv all, struct sv s)
{
	must(!s.n || (s.p >= all.p && s.p + s.n <= all.p + all.n));
	must(!s.n || !memchr(s.p, '\0', s.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sv all = sv_make(data, size);
	struct uevent ev;

	if (uevent_parse(all, &ev))
		return 0;
	inside(all, ev.action);
	inside(all, ev.devpath);
	inside(all, ev.subsystem);
	inside(all, ev.pci_slot);
	must(ev.action.n && ev.subsystem.n && sv_starts(ev.devpath, SV("/")));
	must(!sv_ends(ev.devpath, SV("/..")) && !memmem(ev.devpath.p, ev.devpath.n, "/../", 4));
	must(ev.pci_slot.n <= 16 && !(ev.pci_slot.n && memchr(ev.pci_slot.p, '/', ev.pci_slot.n)));
	return 0;
}
