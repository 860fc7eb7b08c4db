#!/bin/sh
# Makes the certificates of the tests anew. They are fixed files so that tests do not depend on the day they run.
set -eu
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
: > "$work/index"

certify() { # name, subject, alternative names, not before, not after
    cat > "$work/config" <<CONFIG
[ca]
default_ca = self
[self]
database = $work/index
new_certs_dir = $work
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
x509_extensions = leaf
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[leaf]
basicConstraints = CA:FALSE
${3:+subjectAltName = $3}
CONFIG
    openssl req -new -key "$1.key" -subj "$2" -config "$work/config" -out "$work/request"
    openssl ca -batch -selfsign -notext -keyfile "$1.key" -in "$work/request" -config "$work/config" \
        -startdate "$4" -enddate "$5" -out "$1.crt"
}

ecdsa() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
    certify "$@"
}

ecdsa foo /CN=foo.com DNS:foo.com,DNS:www.foo.com 20200101000000Z 21200101000000Z
ecdsa other-foo /CN=foo.com DNS:foo.com 20200101000000Z 21200101000000Z
ecdsa wildcard '/CN=*.foo.com' 'DNS:*.foo.com' 20200101000000Z 21200101000000Z
ecdsa common-name /CN=foo.com '' 20200101000000Z 21200101000000Z
ecdsa expired /CN=foo.com DNS:foo.com 20200101000000Z 20210101000000Z
ecdsa future /CN=foo.com DNS:foo.com 21000101000000Z 21200101000000Z
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key
certify rsa /CN=foo.com DNS:foo.com 20200101000000Z 21200101000000Z
