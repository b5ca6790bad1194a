#pragma once
/* What an HTTP answer of the API server means. Pure: bytes and numbers in, codes and text out. */
#include "k8s/api/client.h"

/* The parsed body when it is a Status object, else NULL. */
const struct json *answer_status(const struct json *body);
/* 0 for 2xx, else the code. `status` may be NULL. */
int answer_code(int http, const struct json *status);
/* From the Retry-After header (seconds or, from proxies, a date that is ignored) or the Status. */
uint32_t answer_retry_after_ms(struct sv header, const struct json *status);
/* The Date header ("Sun, 06 Nov 1994 08:49:37 GMT", RFC 9110) in Unix ms; 0: none or another form.
 */
uint64_t answer_date_ms(struct sv header);
/* "403 Forbidden: message", or the beginning of a body that is no Status. One printable line. */
void answer_text(int http, const struct json *status, struct sv body, struct err *e);
/* The text of a Warning header (299 - "text"), unescaped; false when it is not one. */
bool answer_warning(struct sv header, char *out, size_t size);
/* "Too large resource version": the server's history is shorter than ours (a restored etcd). */
bool answer_rv_from_future(const struct json *status);
