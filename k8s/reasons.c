#include "k8s/reasons.h"

const struct event_reason event_reasons[] = {
	{ "DevicePluginConflict", true, "Node",
	  "a device plugin serves the same GPUs; tundra offers no devices until it is gone",
	  "take the device plugin off this node, or accept double booking with "
	  "--allow-device-plugin" },
	{ "FailedPrepare", true, "ResourceClaim",
	  "the kubelet's prepare ended with this error; the pod waits, the kubelet asks again",
	  "the text names the cause; see the errors page" },
	{ "FailedUnprepare", true, "ResourceClaim",
	  "the claim could not be released; the kubelet asks again, the GPU stays held",
	  "the text names the cause; mostly the disk of the node" },
	{ "FieldsDropped", true, "Node", "the API server did not keep a field of a ResourceSlice",
	  "switch on the feature gate of that field, or upgrade the API server" },
	{ "GPUsNotReady", true, "Node", "no devices are published, for the reason given",
	  "tundra doctor on that node" },
	{ "LedgerCorrupt", true, "Node",
	  "a record of the ledger is damaged; its claim alone is set aside and its GPU stays held",
	  "delete that claim's pods; look for a dying disk" },
	{ "OrphanedClaim", true, "ResourceClaim",
	  "prepared here, but its object is gone from the API server; kept while a process has "
	  "the GPU open or nobody can tell",
	  "end the process that the text speaks of; the claim is released by itself then" },
	{ "RegistrationRefused", true, "Node", "the kubelet refused the driver's registration",
	  "the text is the kubelet's; mostly another driver of the same name is registered" },
	{ "Waiting", false, "ResourceClaim",
	  "a prepare waits for something short-lived: a device still held, the API server, the "
	  "driver",
	  "nothing, if it ends by itself; else what the text names" },
};
const size_t event_reasons_n = ARRAY_LEN(event_reasons);
