#!/bin/sh
# Certificates for a hostile API server, into FOLDER: good, expired, future (not valid yet), name (another host's), stranger (of a
# CA that nobody trusts), self (signed by itself), and ca.crt.   usage: certs.sh FOLDER
set -eu
cd "$1"
ca() { # ca NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt" -days 30 \
		-subj "/CN=hostile $1" -addext 'basicConstraints=critical,CA:TRUE'
}
leaf() { # leaf NAME CA SAN FROM TO
	mkdir -p "$1.d"
	: >"$1.d/index"
	printf '[ca]\ndefault_ca=x\n[x]\ndatabase=%s/index\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=%s\n' \
		"$1.d" "$1.d" "$3" >"$1.cnf"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj /CN=api
	openssl ca -batch -notext -config "$1.cnf" -cert "$2.crt" -keyfile "$2.key" -in "$1.csr" -out "$1.crt" -extensions e \
		-startdate "$4" -enddate "$5"
}
day() { date -u -d "$1" +%Y%m%d%H%M%SZ; }
here=IP:127.0.0.1
ca ca
ca other
leaf good ca "$here" "$(day yesterday)" "$(day '30 days')"
leaf expired ca "$here" "$(day '10 days ago')" "$(day yesterday)"
leaf future ca "$here" "$(day tomorrow)" "$(day '30 days')"
leaf name ca DNS:somewhere.else "$(day yesterday)" "$(day '30 days')"
leaf stranger other "$here" "$(day yesterday)" "$(day '30 days')"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self.key -out self.crt -days 30 -subj /CN=api \
	-addext "subjectAltName=$here"
