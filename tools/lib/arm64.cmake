# Toolchain: arm64 from another machine, with a sysroot that tools/lib/arm64-sysroot.sh made. TUNDRA_SYSROOT (environment) names it.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_SYSROOT $ENV{TUNDRA_SYSROOT})
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_C_COMPILER_AR aarch64-linux-gnu-gcc-ar)
set(CMAKE_C_COMPILER_RANLIB aarch64-linux-gnu-gcc-ranlib)
set(CMAKE_STRIP aarch64-linux-gnu-strip)
# Programs (protoc-c) are the machine's, libraries and headers the sysroot's.
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(TUNDRA_MUSL_CC ${CMAKE_SYSROOT}/bin/aarch64-musl-gcc CACHE FILEPATH "Compiler of tundra-cdi-hook")
# Tests run under an emulator.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static;-L;${CMAKE_SYSROOT})
