module github.com/peersd/peersd

go 1.26

require (
	github.com/cespare/xxhash/v2 v2.3.0
	github.com/mattn/go-isatty v0.0.19
	github.com/rs/zerolog v1.34.0
	golang.org/x/sys v0.12.0
)

require github.com/mattn/go-colorable v0.1.13 // indirect
