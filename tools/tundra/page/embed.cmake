# Writes a header with the files of the status page, each as bytes and with a tag that changes with it:
#   cmake -DFOLDER=<page> -DFILES=<a.html,b.css> -DOUT=<header> -P embed.cmake
set(text "/* Made by tools/tundra/page/embed.cmake. */\n#pragma once\n")
string(REPLACE "," ";" files ${FILES})
foreach(file ${files})
  string(REPLACE "." "_" name ${file})
  file(READ ${FOLDER}/${file} hex HEX)
  file(SHA256 ${FOLDER}/${file} hash)
  string(SUBSTRING ${hash} 0 16 hash)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
  string(APPEND text "#define PAGE_${name}_ETAG \"\\\"${hash}\\\"\"\nstatic const unsigned char page_${name}[] = {\n${bytes}\n};\n")
endforeach()
file(WRITE ${OUT} "${text}")
