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

enum hotplug_source { HOTPLUG_FOLDERS, HOTPLUG_DEVICES, HOTPLUG_SOURCES };

struct hotplug_pace {
	unsigned idle;	  /* looks in a row that found nothing */
	uint64_t last_ms; /* of the last event ever */
	bool due;	  /* has a part in the look that is to come */
	bool asked;	  /* has one in the look whose result is to come */
};

struct hotplug {
	struct loop *loop;
	struct hotplug_conf conf;
	struct uevent_watch *uevents;
	int uevent_fd; /* ours when we opened it */
	struct list folders;
	size_t folders_n;
	struct loop_timer timer, rearm;
	struct hotplug_pace pace[HOTPLUG_SOURCES];
	bool prompt;	   /* the look to come is not a slowed one */
	uint64_t first_ms; /* of its burst */
	char why[128];
};

/* At the end of a burst, and not long after its beginning. */
static uint64_t hotplug_prompt_delay(const struct hotplug *h, uint64_t now)
{
	uint64_t since_first = now - h->first_ms;
	uint64_t delay = since_first < HOTPLUG_MOST_MS ? HOTPLUG_MOST_MS - since_first : 0;

	return MIN(delay, (uint64_t)HOTPLUG_QUIET_MS);
}

/* After HOTPLUG_IDLE_LOOKS fruitless looks each wait is twice the one before. */
static uint64_t hotplug_slow_delay(const struct hotplug_pace *p)
{
	return MIN((uint64_t)HOTPLUG_QUIET_MS << MIN(p->idle - HOTPLUG_IDLE_LOOKS, 16u),
		   (uint64_t)HOTPLUG_SLOWEST_MS);
}

static void hotplug_event(struct hotplug *h, enum hotplug_source source, const char *what,
			  struct sv name)
{
	struct hotplug_pace *p = &h->pace[source];
	uint64_t now = loop_now_ms(h->loop);
	bool due = loop_timer_armed(&h->timer), prompt;

	/* Twice, since an event that a slow look causes comes as long after the last one. */
	if (now - p->last_ms > 2ull * HOTPLUG_SLOWEST_MS)
		p->idle = 0;
	p->last_ms = now;
	p->due = true;
	prompt = p->idle <= HOTPLUG_IDLE_LOOKS;
	if (!due || (prompt && !h->prompt)) {
		h->first_ms = now;
		snprintf(h->why, sizeof(h->why), "%s " SV_FMT, what, SV_ARG(name));
	}
	h->prompt |= prompt;
	if (prompt)
		loop_timer_set(&h->timer, hotplug_prompt_delay(h, now));
	else if (!due)
		loop_timer_set(&h->timer, hotplug_slow_delay(p));
}

static void hotplug_on_timer(void *arg)
{
	struct hotplug *h = arg;
	size_t i;

	for (i = 0; i < HOTPLUG_SOURCES; i++) {
		h->pace[i].asked |= h->pace[i].due;
		h->pace[i].due = false;
	}
	h->prompt = false;
	h->conf.changed(h->conf.arg, h->why);
}

static void hotplug_on_entry(void *arg, const char *name)
{
	struct hotplug_folder *f = arg;

	log_debug("folder changed", LOG_S("folder", f->what.folder), LOG_S("entry", name));
	hotplug_event(f->hotplug, HOTPLUG_FOLDERS, f->what.folder, sv_str(name));
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
	char pci[PCI_TEXT_MAX + 1];

	if (!ev->devpath.n) { /* the kernel dropped some: any of them may have mattered */
		hotplug_event(h, HOTPLUG_DEVICES, "kernel events were lost", SV_NONE);
		return;
	}
	if (pci_normalise(ev->pci_slot, pci) < 0)
		return;
	if (!h->conf.ours(h->conf.arg, ev->pci_slot) && !hotplug_is_vendor(h, ev->pci_slot))
		return;
	log_info("PCI device changed", LOG_SV("action", ev->action), LOG_SV("pci", ev->pci_slot));
	h->conf.device(h->conf.arg, pci);
	hotplug_event(h, HOTPLUG_DEVICES, "PCI device", ev->pci_slot);
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

static void hotplug_rearm(void *arg);

struct hotplug *hotplug_new(struct loop *l, const struct hotplug_conf *conf)
{
	struct hotplug *h = MEM_NEW(struct hotplug);
	int fd;

	h->loop = l;
	h->conf = *conf;
	h->uevent_fd = -1;
	list_init(&h->folders);
	loop_timer_init(&h->timer, l, hotplug_on_timer, h);
	loop_timer_init(&h->rearm, l, hotplug_rearm, h);
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
	loop_timer_stop(&(*h)->rearm);
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

/* The kernel's limits on inotify are shared by all of root's programs: what it refuses may pass. */
static void hotplug_arm(struct hotplug_folder *f)
{
	struct hotplug *h = f->hotplug;
	int r = fswatch_new(h->loop, f->what.folder, hotplug_on_entry, f, &f->watch);

	if (r < 0) {
		log_warn("folder cannot be watched, trying again", LOG_S("folder", f->what.folder),
			 LOG_S("error", strerror(-r)));
		loop_timer_set(&h->rearm, HOTPLUG_REARM_MS);
	} else if (*f->what.prefix) {
		fswatch_only(f->watch, f->what.prefix);
	}
}

static void hotplug_rearm(void *arg)
{
	struct hotplug *h = arg;

	list_for_each (n, &h->folders) {
		struct hotplug_folder *f = list_entry(n, struct hotplug_folder, node);

		if (f->watch)
			continue;
		hotplug_arm(f);
		if (f->watch) /* what happened until now was not seen */
			hotplug_event(h, HOTPLUG_FOLDERS, f->what.folder, SV("is watched now"));
	}
}

static struct hotplug_folder *hotplug_add(struct hotplug *h, const void *owner,
					  const struct gpu_watch *what)
{
	struct hotplug_folder *f;

	if (h->folders_n == HOTPLUG_FOLDERS_MAX)
		return NULL;
	f = MEM_NEW(struct hotplug_folder);
	f->hotplug = h;
	f->owner = owner;
	f->what = *what;
	list_push(&h->folders, &f->node);
	h->folders_n++;
	hotplug_arm(f);
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
	struct hotplug_pace *p;

	for (p = h->pace; p < h->pace + HOTPLUG_SOURCES; p++) {
		if (p->asked)
			p->idle = news ? 0 : p->idle + 1;
		p->asked = false;
	}
}
