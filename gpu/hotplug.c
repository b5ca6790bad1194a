#include "gpu/hotplug.h"

#include <errno.h>
#include <unistd.h>

#include "core/fswatch.h"
#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/uevent.h"
#include "gpu/pci.h"

struct hotplug_folder {
	struct list node;
	struct hotplug *hotplug;
	const void *owner;
	struct gpu_watch what;
	struct fswatch *watch;
	bool wanted;
};

struct hotplug {
	struct loop *loop;
	struct hotplug_conf conf;
	struct uevent_watch *uevents;
	int uevent_fd; /* ours when we opened it */
	struct list folders;
	size_t folders_n;
	struct loop_timer timer;
	uint64_t first_ms; /* of this burst */
	unsigned idle;	   /* looks in a row that found nothing */
	uint64_t last_ms;  /* of the last event ever */
	char why[128], pci[GPU_PCI_MAX + 1];
};

/* Prompt at first; after HOTPLUG_IDLE_LOOKS fruitless ones each wait is twice the one before. */
static uint64_t hotplug_delay(const struct hotplug *h, uint64_t now)
{
	unsigned over = h->idle > HOTPLUG_IDLE_LOOKS ? h->idle - HOTPLUG_IDLE_LOOKS : 0;
	uint64_t since_first = now - h->first_ms;
	uint64_t delay;

	if (over)
		return MIN((uint64_t)HOTPLUG_QUIET_MS << MIN(over, 16u),
			   (uint64_t)HOTPLUG_SLOWEST_MS);
	delay = since_first < HOTPLUG_MOST_MS ? HOTPLUG_MOST_MS - since_first : 0;
	return MIN(delay, (uint64_t)HOTPLUG_QUIET_MS);
}

static void hotplug_event(struct hotplug *h, const char *what, struct sv name)
{
	uint64_t now = loop_now_ms(h->loop);
	bool burst = loop_timer_armed(&h->timer);

	if (now - h->last_ms > HOTPLUG_SLOWEST_MS)
		h->idle = 0;
	h->last_ms = now;
	if (!burst) {
		h->first_ms = now;
		snprintf(h->why, sizeof(h->why), "%s " SV_FMT, what, SV_ARG(name));
	}
	if (!burst || h->idle <= HOTPLUG_IDLE_LOOKS)
		loop_timer_set(&h->timer, hotplug_delay(h, now));
}

static void hotplug_on_timer(void *arg)
{
	struct hotplug *h = arg;
	char pci[sizeof(h->pci)];

	memcpy(pci, h->pci, sizeof(pci));
	h->pci[0] = '\0';
	h->conf.changed(h->conf.arg, h->why, pci);
}

static void hotplug_on_entry(void *arg, const char *name)
{
	struct hotplug_folder *f = arg;

	log_debug("folder changed", LOG_S("folder", f->what.folder), LOG_S("entry", name));
	hotplug_event(f->hotplug, f->what.folder, sv_str(name));
}

static bool hotplug_is_vendor(const struct hotplug *h, struct sv pci)
{
	const unsigned *vendor = h->conf.pci_vendors;
	char path[512], line[32];
	unsigned long id;
	int n;

	n = snprintf(path, sizeof(path), "%s/bus/pci/devices/" SV_FMT "/vendor", h->conf.roots->sys,
		     SV_ARG(pci));
	if (n < 0 || (size_t)n >= sizeof(path) || fsx_line(path, line, sizeof(line)) < 0)
		return false;
	id = strtoul(line, NULL, 16);
	while (*vendor && *vendor != id)
		vendor++;
	return *vendor != 0;
}

/* A hundred virtual functions of a network card must not make us look a hundred times. */
static void hotplug_on_uevent(void *arg, const struct uevent *ev)
{
	struct hotplug *h = arg;
	struct pci_address address;

	if (!ev->devpath.n) { /* the kernel dropped some: any of them may have mattered */
		hotplug_event(h, "kernel events were lost", SV_NONE);
		return;
	}
	if (pci_parse(ev->pci_slot, &address) < 0)
		return;
	if (!h->conf.ours(h->conf.arg, ev->pci_slot) && !hotplug_is_vendor(h, ev->pci_slot))
		return;
	if (!*h->pci)
		sv_copy(h->pci, sizeof(h->pci), ev->pci_slot);
	log_info("PCI device changed", LOG_SV("action", ev->action), LOG_SV("pci", ev->pci_slot));
	hotplug_event(h, "PCI device", ev->pci_slot);
}

/* The kernel's events, or the test's. Without them device nodes still tell. */
static int hotplug_uevent_fd(struct hotplug *h)
{
	int fd;

	if (h->conf.uevent_fd >= 0)
		return h->conf.uevent_fd;
	fd = uevent_open();
	if (fd < 0)
		log_warn("no kernel events, hot-plug is seen by device nodes only",
			 LOG_S("error", strerror(-fd)));
	else
		h->uevent_fd = fd;
	return fd;
}

struct hotplug *hotplug_new(struct loop *l, const struct hotplug_conf *conf)
{
	struct hotplug *h = MEM_NEW(struct hotplug);
	int fd;

	h->loop = l;
	h->conf = *conf;
	h->uevent_fd = -1;
	list_init(&h->folders);
	loop_timer_init(&h->timer, l, hotplug_on_timer, h);
	fd = hotplug_uevent_fd(h);
	if (fd >= 0)
		h->uevents = uevent_new(l, fd, "pci", hotplug_on_uevent, h);
	return h;
}

static void hotplug_folder_free(struct hotplug_folder *f)
{
	fswatch_free(&f->watch);
	list_remove(&f->node);
	f->hotplug->folders_n--;
	mem_free(f);
}

void hotplug_free(struct hotplug **h)
{
	if (!*h)
		return;
	list_for_each_safe (n, &(*h)->folders)
		hotplug_folder_free(list_entry(n, struct hotplug_folder, node));
	uevent_free(&(*h)->uevents);
	if ((*h)->uevent_fd >= 0)
		close((*h)->uevent_fd);
	loop_timer_stop(&(*h)->timer);
	mem_free(*h);
	*h = NULL;
}

static struct hotplug_folder *hotplug_find(struct hotplug *h, const void *owner,
					   const struct gpu_watch *what)
{
	list_for_each (n, &h->folders) {
		struct hotplug_folder *f = list_entry(n, struct hotplug_folder, node);

		if (f->owner == owner && strcmp(f->what.folder, what->folder) == 0 &&
		    strcmp(f->what.prefix, what->prefix) == 0)
			return f;
	}
	return NULL;
}

static struct hotplug_folder *hotplug_add(struct hotplug *h, const void *owner,
					  const struct gpu_watch *what)
{
	struct hotplug_folder *f;
	int r;

	if (h->folders_n == HOTPLUG_FOLDERS_MAX)
		return NULL;
	f = MEM_NEW(struct hotplug_folder);
	f->hotplug = h;
	f->owner = owner;
	f->what = *what;
	r = fswatch_new(h->loop, what->folder, hotplug_on_entry, f, &f->watch);
	if (r < 0)
		log_warn("folder cannot be watched", LOG_S("folder", what->folder),
			 LOG_S("error", strerror(-r)));
	else if (*what->prefix)
		fswatch_only(f->watch, what->prefix);
	list_push(&h->folders, &f->node);
	h->folders_n++;
	return f;
}

void hotplug_watch(struct hotplug *h, const void *owner, const struct gpu_watch *folders, size_t n)
{
	struct hotplug_folder *f;
	size_t i;

	list_for_each (node, &h->folders) {
		f = list_entry(node, struct hotplug_folder, node);
		if (f->owner == owner)
			f->wanted = false;
	}
	for (i = 0; i < n; i++) {
		f = hotplug_find(h, owner, &folders[i]);
		if (!f)
			f = hotplug_add(h, owner, &folders[i]);
		if (f)
			f->wanted = true;
	}
	list_for_each_safe (node, &h->folders) {
		f = list_entry(node, struct hotplug_folder, node);
		if (f->owner == owner && !f->wanted)
			hotplug_folder_free(f);
	}
}

void hotplug_result(struct hotplug *h, bool news)
{
	h->idle = news ? 0 : h->idle + 1;
}
