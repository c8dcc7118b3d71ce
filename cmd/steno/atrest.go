package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/seal"
	"github.com/steno-audit/steno/internal/serve"
)

// readAtRest opens a data directory that no server has open and serves its reading API in process. It writes too: a read
// leaves its trace in the log whether a server runs or not.
func readAtRest(dir string) (http.Handler, string, func() error, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, "", nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := openStore(ctx, storeConfig{Dir: dir, KeyDir: dir + ".keys", Name: "reader", Months: 24, Timeout: 20 * time.Minute, Logger: logger})
	if err != nil {
		cancel()
		var locked *disk.LockedError
		if errors.As(err, &locked) {
			return nil, "", nil, fmt.Errorf("%w; read through it: --server URL --token TOKEN", err)
		}
		return nil, "", nil, err
	}
	const token = "in-process"
	h := serve.Handler(serve.NewReader(s.readerConfig()), token, http.NotFoundHandler())
	return h, token, func() error { defer cancel(); return s.close("reading is done") }, nil
}

// textsAtRest opens the key ring beside a data directory, for verify to open every text.
func textsAtRest(dir string) (func(uint64, *steno.Leaf, []byte) error, func(), error) {
	id, err := readIdentity(dir)
	if err != nil {
		return nil, nil, err
	}
	keys, err := seal.Open(disk.OS(), dir+".keys", id.Origin)
	if err != nil {
		return nil, nil, err
	}
	return textCheck(dir, keys)
}
