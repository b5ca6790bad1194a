#pragma once
/* What becomes of one request to a worker in the test's own process; see inproc.h. */
enum inproc_fate {
	INPROC_SERVE,
	INPROC_DIE_BEFORE,	   /* the process ends and the request was never seen */
	INPROC_DIE_AFTER,	   /* it did its work and ends without an answer */
	INPROC_HANG,		   /* it did its work and nothing more is heard of it */
	INPROC_WRONG,		   /* it did its work and answers nonsense */
	INPROC_LIE,		   /* it did nothing and answers nonsense, as if all were well */
	INPROC_FATES = INPROC_LIE, /* that are no service */
};
