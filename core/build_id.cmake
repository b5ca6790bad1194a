# Writes a header with a hash of the sources that speak the worker protocol:
#   cmake -DROOT=<sources> -DOUT=<header> -DVERSION=<version> -P build_id.cmake
# The same sources give the same id on every machine and at every time: builds are repeatable, and a
# tundra and a tundra-worker of different sources refuse each other.
file(GLOB_RECURSE files RELATIVE ${ROOT}
  ${ROOT}/core/*.[ch] ${ROOT}/gpu/*.[ch] ${ROOT}/third_party/*.[ch] ${ROOT}/tools/worker/*.[ch])
list(SORT files)
set(all "${VERSION}\n")
foreach(file ${files})
  file(SHA256 ${ROOT}/${file} hash)
  string(APPEND all "${file} ${hash}\n")
endforeach()
string(SHA256 id "${all}")
string(SUBSTRING ${id} 0 16 id)
file(WRITE ${OUT} "#define BUILD_ID \"${id}\"\n")
