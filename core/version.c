#include "core/version.h"

/* TUNDRA_VERSION comes from the project, BUILD_ID from build_id.cmake. */
#include "core/build_id.h"

const char *version_string(void)
{
	return TUNDRA_VERSION;
}

const char *version_build(void)
{
	return BUILD_ID;
}
