/* The driver's files: libraries, programs, firmware, configuration, sockets. The list is the one
 * facts/nvml.md 12 saw mounted into containers; contents are stubs except libnvidia-ml. */
#include <stdio.h>
#include <string.h>

#include "tools/fakegpu.d/fakegpu.h"

#if defined(__aarch64__)
#define MACHINE "aarch64"
#else
#define MACHINE "x86_64"
#endif
#define LIBDIR "usr/lib/" MACHINE "-linux-gnu"

/* soname NULL: the file name itself, with the version. dev: a lib.so link exists too. */
static const struct library {
	const char *name;
	const char *soname;
	bool dev;
} libraries[] = {
	{ "libEGL_nvidia.so", "libEGL_nvidia.so.0", false },
	{ "libGLESv1_CM_nvidia.so", "libGLESv1_CM_nvidia.so.1", false },
	{ "libGLESv2_nvidia.so", "libGLESv2_nvidia.so.2", false },
	{ "libGLX_nvidia.so", "libGLX_nvidia.so.0", false },
	{ "libcuda.so", "libcuda.so.1", true },
	{ "libcudadebugger.so", "libcudadebugger.so.1", false },
	{ "libnvcuvid.so", "libnvcuvid.so.1", true },
	{ "libnvidia-allocator.so", "libnvidia-allocator.so.1", false },
	{ "libnvidia-cfg.so", "libnvidia-cfg.so.1", false },
	{ "libnvidia-eglcore.so", NULL, false },
	{ "libnvidia-encode.so", "libnvidia-encode.so.1", true },
	{ "libnvidia-fbc.so", "libnvidia-fbc.so.1", false },
	{ "libnvidia-glcore.so", NULL, false },
	{ "libnvidia-glsi.so", NULL, false },
	{ "libnvidia-glvkspirv.so", NULL, false },
	{ "libnvidia-gpucomp.so", NULL, false },
	{ "libnvidia-gtk3.so", NULL, false },
	{ "libnvidia-ngx.so", "libnvidia-ngx.so.1", false },
	{ "libnvidia-nvvm.so", "libnvidia-nvvm.so.4", false },
	{ "libnvidia-opencl.so", "libnvidia-opencl.so.1", false },
	{ "libnvidia-opticalflow.so", "libnvidia-opticalflow.so.1", false },
	{ "libnvidia-pkcs11.so", NULL, false },
	{ "libnvidia-pkcs11-openssl3.so", NULL, false },
	{ "libnvidia-present.so", NULL, false },
	{ "libnvidia-ptxjitcompiler.so", "libnvidia-ptxjitcompiler.so.1", false },
	{ "libnvidia-rtcore.so", NULL, false },
	{ "libnvidia-sandboxutils.so", "libnvidia-sandboxutils.so.1", false },
	{ "libnvidia-tls.so", NULL, false },
	{ "libnvidia-vksc-core.so", "libnvidia-vksc-core.so.1", false },
	{ "libnvidia-wayland-client.so", NULL, false },
	{ "libnvoptix.so", "libnvoptix.so.1", false },
	{ "vdpau/libvdpau_nvidia.so", "libvdpau_nvidia.so.1", false },
	{ "nvidia/xorg/libglxserver_nvidia.so", "libglxserver_nvidia.so", false },
};

static const char *base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void put_library(const char *root, const struct library *l, const char *version)
{
	char file[128];
	char path[1024];
	char dir[1024];

	join(file, sizeof(file), "%s.%s", base(l->name), version);
	join(dir, sizeof(dir), "%s/" LIBDIR "/%.*s", root, (int)(base(l->name) - l->name), l->name);
	put_elf(join(path, sizeof(path), "%s%s", dir, file), l->soname != NULL ? l->soname : file);
	if (l->soname == NULL)
		return;
	put_link(join(path, sizeof(path), "%s%s", dir, l->soname), file);
	if (l->dev)
		put_link(join(path, sizeof(path), "%s%s", dir, base(l->name)), l->soname);
}

/* Libraries with a version of their own. */
static void put_egl(const char *root)
{
	char path[1024];

	put_elf(join(path, sizeof(path), "%s/" LIBDIR "/libnvidia-egl-gbm.so.1.1.2", root),
		"libnvidia-egl-gbm.so.1");
	put_link(join(path, sizeof(path), "%s/" LIBDIR "/libnvidia-egl-gbm.so.1", root),
		 "libnvidia-egl-gbm.so.1.1.2");
	put_elf(join(path, sizeof(path), "%s/" LIBDIR "/libnvidia-egl-wayland.so.1.1.19", root),
		"libnvidia-egl-wayland.so.1");
	put_link(join(path, sizeof(path), "%s/" LIBDIR "/libnvidia-egl-wayland.so.1", root),
		 "libnvidia-egl-wayland.so.1.1.19");
	put_elf(join(path, sizeof(path), "%s/" LIBDIR "/nvidia/xorg/nvidia_drv.so", root),
		"nvidia_drv.so");
}

static void put_programs(const char *root, const char *version)
{
	static const char *const names[] = {
		"nvidia-debugdump",	  "nvidia-persistenced", "nvidia-cuda-mps-control",
		"nvidia-cuda-mps-server", "nvidia-imex",	 "nvidia-imex-ctl"
	};
	char text[1024];
	char path[1024];
	uint32_t i;

	/* Says what a pod's test wants to know: which nodes are here, and which driver. */
	join(text, sizeof(text),
	     "#!/bin/sh\n# tools/fakegpu\n"
	     "if [ \"${1:-}\" = -L ]; then\n"
	     "\tfor n in /dev/nvidia[0-9]*; do\n"
	     "\t\t[ -e \"$n\" ] && echo \"GPU ${n#/dev/nvidia}: fake ($n)\"\n"
	     "\tdone\n\texit 0\nfi\n"
	     "echo \"NVIDIA-SMI %s  Driver Version: %s  (fake)\"\n",
	     version, version);
	put_script(join(path, sizeof(path), "%s/usr/bin/nvidia-smi", root), text);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		join(text, sizeof(text), "#!/bin/sh\necho '%s %s (fake)'\n", names[i], version);
		put_script(join(path, sizeof(path), "%s/usr/bin/%s", root, names[i]), text);
	}
}

static void put_configs(const char *root, const char *version)
{
	char path[1024];

	put(join(path, sizeof(path), "%s/usr/share/glvnd/egl_vendor.d/10_nvidia.json", root),
	    "{\"file_format_version\":\"1.0.0\",\"ICD\":{\"library_path\":\"%s\"}}\n",
	    "libEGL_nvidia.so.0");
	put(join(path, sizeof(path), "%s/usr/share/egl/egl_external_platform.d/15_nvidia_gbm.json",
		 root),
	    "{\"file_format_version\":\"1.0.0\",\"ICD\":{\"library_path\":\"%s\"}}\n",
	    "libnvidia-egl-gbm.so.1");
	put(join(path, sizeof(path),
		 "%s/usr/share/egl/egl_external_platform.d/10_nvidia_wayland.json", root),
	    "{\"file_format_version\":\"1.0.0\",\"ICD\":{\"library_path\":\"%s\"}}\n",
	    "libnvidia-egl-wayland.so.1");
	put(join(path, sizeof(path), "%s/etc/vulkan/icd.d/nvidia_icd.json", root),
	    "{\"file_format_version\":\"1.0.1\",\"ICD\":{\"library_path\":\"%s\"}}\n",
	    "libGLX_nvidia.so.0");
	put(join(path, sizeof(path), "%s/etc/vulkan/implicit_layer.d/nvidia_layers.json", root),
	    "{\"file_format_version\":\"1.0.0\",\"layers\":[%s]}\n", "");
	put(join(path, sizeof(path), "%s/usr/share/nvidia/nvoptix.bin", root), "fake %s\n",
	    version);
	put(join(path, sizeof(path), "%s/usr/share/X11/xorg.conf.d/10-nvidia.conf", root),
	    "# fake %s\n", version);
	put(join(path, sizeof(path), "%s/usr/share/X11/xorg.conf.d/nvidia-drm-outputclass.conf",
		 root),
	    "# fake %s\n", version);
}

void driver_tree(const char *root, const struct state *st, const char *lib)
{
	const char *version = st->driver_version;
	char path[1024];
	char file[128];
	uint32_t i;

	for (i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		put_library(root, &libraries[i], version);
	put_egl(root);
	join(file, sizeof(file), "libnvidia-ml.so.%s", version);
	put_copy(join(path, sizeof(path), "%s/" LIBDIR "/%s", root, file), lib);
	put_link(join(path, sizeof(path), "%s/" LIBDIR "/libnvidia-ml.so.1", root), file);
	put_programs(root, version);
	put_configs(root, version);
	put(join(path, sizeof(path), "%s/lib/firmware/nvidia/%s/gsp_ga10x.bin", root, version),
	    "fake gsp %s\n", version);
	put(join(path, sizeof(path), "%s/lib/firmware/nvidia/%s/gsp_tu10x.bin", root, version),
	    "fake gsp %s\n", version);
	put_socket(join(path, sizeof(path), "%s/run/nvidia-persistenced/socket", root));
	if (st->gpu[0].fabric_state != 0)
		put_socket(join(path, sizeof(path), "%s/run/nvidia-fabricmanager/socket", root));
}

void driver_tree_remove(const char *root)
{
	static const char libs[] = LIBDIR;
	static const char *const parts[] = { libs,  "usr/bin",	    "usr/share",
					     "etc", "lib/firmware", "run" };
	char path[1024];
	uint32_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		remove_tree(join(path, sizeof(path), "%s/%s", root, parts[i]));
}

const char *kernel_machine(void)
{
	return MACHINE;
}
