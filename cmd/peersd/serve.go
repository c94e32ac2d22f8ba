package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/peersd/peersd/config"
	"github.com/peersd/peersd/config/haproxycfg"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

const serveHelp = `Without a flag it listens on 127.0.0.1:10001 as the peer "peersd" and welcomes
every peer of this machine. In haproxy.cfg that is:

  peers peers                         # another name: --section NAME
      peer lb1 127.0.0.1:10000        # HAProxy itself, started with -L lb1
      peer peersd 127.0.0.1:10001

With that file, -f haproxy.cfg -L peersd says where it listens, whom it dials, and
which tables there are. SIGHUP, or ` + "`peersd raw reload`" + `, reads it again.

Every flag may be given in the environment instead: --max-memory 1g as
PEERSD_MAX_MEMORY=1g. What may be repeated has spaces in between there. A flag beats
the environment, and both beat the file.`

func (a *app) serveCommand() *cobra.Command {
	c := config.Default()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the mirror",
		Long:  serveHelp,
		Example: `  peersd serve
  peersd serve -f /etc/haproxy/haproxy.cfg -L peersd
  peersd serve --section mypeers --peer lb1=10.0.0.1:10000 --peer lb2=10.0.0.2:10000`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			return a.serve(c)
		},
	}
	serveFlags(cmd.Flags(), c)
	return cmd
}

// load reads what the flags and the files say. What is to be said of the files goes to
// stderr, as HAProxy says it.
func (a *app) load(flags *config.Config) (*config.Config, error) {
	c, messages, err := flags.Load()
	for _, m := range messages {
		fmt.Fprintln(a.stderr, m)
	}
	switch {
	case errors.As(err, new(haproxycfg.Messages)):
		return nil, refusedFiles(messages)
	case err != nil:
		return nil, usageError{err}
	}
	return c, nil
}

// refusedFiles is the error that files can't be used; what is wrong with them was
// said.
func refusedFiles(messages haproxycfg.Messages) error {
	if n := len(messages.Of(haproxycfg.Alert)); n != 1 {
		return fmt.Errorf("the configuration has %d errors, see above; nothing of it is used", n)
	}
	return errors.New("the configuration has an error, see above; nothing of it is used")
}

func (a *app) serve(flags *config.Config) error {
	flags.Log = newLogger(flags.LogLevel)
	c, err := a.load(flags)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1)
	defer stop()
	// A second signal ends it at once.
	context.AfterFunc(ctx, stop)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	m, err := newMirror(flags, c, flags.Log)
	if err != nil {
		return err
	}
	return m.run(ctx, c, hangups)
}

// newLogger writes for people on a terminal, and JSON elsewhere.
func newLogger(level zerolog.Level) zerolog.Logger {
	var w io.Writer = os.Stderr
	if isatty.IsTerminal(os.Stderr.Fd()) {
		w = zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: time.DateTime, NoColor: os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}
