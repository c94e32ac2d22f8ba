module github.com/peersd/peersd

go 1.26

require (
	github.com/cespare/xxhash/v2 v2.3.0
	github.com/haproxytech/config-parser/v5 v5.1.6
	github.com/mattn/go-isatty v0.0.19
	github.com/rs/zerolog v1.34.0
	go.yaml.in/yaml/v3 v3.0.4
	golang.org/x/sys v0.15.0
)

require (
	github.com/gofrs/flock v0.8.1 // indirect
	github.com/google/renameio v1.0.1 // indirect
	github.com/haproxytech/go-logger v1.1.0 // indirect
	github.com/kr/text v0.2.0 // indirect
	github.com/mattn/go-colorable v0.1.13 // indirect
	github.com/rogpeppe/go-internal v1.9.0 // indirect
)
