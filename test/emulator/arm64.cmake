# Toolchain of the preset arm64: the cross build of tools/lib/arm64.cmake, made to run here. The programs name the sysroot's loader
# and libraries themselves: qemu's -L would also turn what tests do with /, /lib and /usr towards the sysroot.
include(${CMAKE_CURRENT_LIST_DIR}/../../tools/lib/arm64.cmake)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,--dynamic-linker=${CMAKE_SYSROOT}/lib/ld-linux-aarch64.so.1 \
-Wl,--disable-new-dtags,-rpath,${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu:/usr/aarch64-linux-gnu/lib")
find_program(TUNDRA_EMULATOR qemu-aarch64-static REQUIRED)
# $LIB is filled in by each machine's own loader.
set(TUNDRA_PRELOAD "${CMAKE_BINARY_DIR}/emulator/$LIB/emulator.so")
# A limit from outside: qemu takes no notice of a program's own setrlimit(), and what a test asks for in vain it would give.
set(CMAKE_CROSSCOMPILING_EMULATOR prlimit --as=4294967296 ${TUNDRA_EMULATOR} -E LD_PRELOAD=${TUNDRA_PRELOAD})
