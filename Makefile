VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 10s

# The race detector needs cgo; what is shipped does not.
GOTEST := CGO_ENABLED=1 go test -race -timeout 15m

.PHONY: build test unit e2e fuzz bench bench-pace bench-ban bench-import soak demo lint fmt clean help haproxy containers cc tmux image

build: ## build bin/peersd, static
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/peersd ./cmd/peersd

IMAGE ?= peersd

image: build ## the image peersd, or IMAGE=name:tag, of bin/peersd; needs docker, and no registry
	mkdir -p bin/run
	tar c --mode=a+rX --owner=0 --group=0 deploy/Dockerfile bin/peersd bin/run | \
		docker build --build-arg VERSION=$(VERSION) --tag $(IMAGE) --target prebuilt --file deploy/Dockerfile -

# End to end comes last, one package at a time: HAProxys keep time. Tests mostly wait
# there, so that more of them run at once than there are CPUs.
E2E  := ./e2e ./internal/haproxytest
UNIT := $$(go list ./... | grep -v -e /e2e$$ -e /haproxytest$$)

test: haproxy containers cc tmux lint ## everything: lint, unit, race, fuzz seeds, and end to end against HAProxy 2.6, 3.0, 3.2 and 3.4
	$(GOTEST) $(UNIT)
	$(GOTEST) -p 1 -parallel 4 $(E2E)

unit: cc ## what needs no HAProxy
	$(GOTEST) $(UNIT)

e2e: haproxy containers cc tmux ## what needs HAProxy; PEERSD_HAPROXY=3.2 for one release line of it
	$(GOTEST) -p 1 -parallel 4 $(E2E)

fuzz: ## each fuzz target for FUZZTIME (10s)
	@set -e; for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$target in $$pkg"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

bench: haproxy ## all benchmarks, in process and beside real HAProxys: docs/benchmarks.md (half an hour)
	go test -run '^$$' -bench . -benchmem $(UNIT)
	go run ./internal/bench

bench-pace: haproxy ## what users of a HAProxy see while it is taught, at the default pace and unpaced (eight minutes)
	go run ./internal/bench -parts pace

bench-ban: haproxy ## how soon all HAProxys refuse whom `peersd set` bans (a minute)
	go run ./internal/bench -parts ban

bench-import: haproxy ## what import and export of a million entries take (five minutes)
	go run ./internal/bench -parts import

soak: haproxy ## an hour of faults, one after the other, against two HAProxys; SOAK=10m for less, PEERSD_SEED=n for the same again
	SOAK=$${SOAK:-1h} go test -count=1 -timeout 24h -v -run '^TestSoak$$' ./e2e

demo: haproxy ## two real HAProxys and peersd on loopback; one is killed and gets its tables back
	@go run ./internal/demo

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -s -l .); [ -z "$$unformatted" ] || { echo "run make fmt, for:" $$unformatted; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

fmt: ## format all Go code
	gofmt -s -w .

clean: ## remove all that make made, the HAProxys too
	rm -rf bin .cache

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1\t/p' Makefile | expand -t 14

# Without one of its HAProxys a test is skipped by name; where CI=true nothing may be.
haproxy:
	@scripts/haproxy.sh || [ "$$CI" != true ]

# For the tests with containers, where there is a container engine: compose, and what stands in for the image busybox.
containers:
	@! command -v docker >/dev/null || scripts/containers.sh || [ "$$CI" != true ]

# For the race detector.
cc:
	@echo '#include <stdlib.h>' | gcc -E - >/dev/null 2>&1 || scripts/install.sh gcc libc6-dev

# The terminal in which `peersd top` is driven. As with a HAProxy.
tmux:
	@command -v tmux >/dev/null || scripts/install.sh tmux || [ "$$CI" != true ]
