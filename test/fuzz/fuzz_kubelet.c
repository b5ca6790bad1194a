/*
 * Protobuf from the kubelet, or whoever is on its sockets, and from an instance that took over: the
 * first byte chooses the message.
 */
#include "core/mem.h"
#include "k8s/plugin.h"
#include "test/fuzz/fuzz.h"
#include "third_party/kubelet/dra.pb-c.h"
#include "third_party/kubelet/health.pb-c.h"
#include "third_party/kubelet/registration.pb-c.h"

static const ProtobufCMessageDescriptor *const kinds[] = {
	&dra__prepare_request__descriptor,
	&dra__unprepare_request__descriptor,
	&dra__prepare_response__descriptor,
	&dra__unprepare_response__descriptor,
	&pluginregistration__info_request__descriptor,
	&pluginregistration__registration_status__descriptor,
	&dra_health__watch_response__descriptor,
};

/* A request is read once more when an instance that took over does not answer it: see
 * serve_again(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *kind;
	ProtobufCMessage *first, *second;
	uint8_t *packed;
	size_t n;

	if (!size)
		return 0;
	kind = kinds[data[0] % ARRAY_LEN(kinds)];
	first = protobuf_c_message_unpack(kind, NULL, size - 1, data + 1);
	if (!first)
		return 0;
	second = protobuf_c_message_unpack(kind, NULL, size - 1, data + 1);
	must(second);
	n = protobuf_c_message_get_packed_size(first);
	must(n == protobuf_c_message_get_packed_size(second));
	packed = mem_alloc(n + 1);
	must(protobuf_c_message_pack(first, packed) == n);
	protobuf_c_message_free_unpacked(first, NULL);
	protobuf_c_message_free_unpacked(second, NULL);
	mem_free(packed);
	return 0;
}
