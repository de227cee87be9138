# make help lists the targets.

PREFIX  ?= /usr/local
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse --short HEAD 2>/dev/null)
LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

.DEFAULT_GOAL := build
.PHONY: build test test-quick demo install clean help

## build: bin/rgwfs, one static binary
build:
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/rgwfs ./cmd/rgwfs

## test: all checks and tests; those on RGW if Ceph is installed (RGWFS_REQUIRE_RGW=1: or else fail)
test:
	scripts/test.sh $(ARGS)

## test-quick: the same without RGW
test-quick:
	scripts/test.sh --no-rgw $(ARGS)

## demo: mount a sample bucket and play with it (RGW=1: of a real Ceph RGW)
demo: build
	RGW=$(RGW) go run ./cmd/rgwfs-demo

## install: to $(PREFIX), below $(DESTDIR)
install: build
	install -D -m 755 bin/rgwfs $(DESTDIR)$(PREFIX)/bin/rgwfs
	if [ -e docs/rgwfs.1 ]; then install -D -m 644 docs/rgwfs.1 $(DESTDIR)$(PREFIX)/share/man/man1/rgwfs.1; fi

## clean: remove what build made
clean:
	rm -rf bin

## help: this list
help:
	@sed -n 's/^## //p' Makefile
