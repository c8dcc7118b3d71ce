package capture

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/journal"
)

// TestCallsPassWhileAGapIsWritten holds the sync of a gap's record back: calls that pass meanwhile must not wait, and are
// another gap.
func TestCallsPassWhileAGapIsWritten(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	rec := r.gateway.rec
	stalled, release := make(chan struct{}, 8), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	r.fs.Fault(func(op disk.Op) disk.Fault {
		if op.Kind == "sync" && strings.Contains(op.Name, "/journal/") {
			stalled <- struct{}{}
			<-release
		}
		return disk.Fault{}
	})
	at := time.Now()
	rec.Pass(at, journal.ErrBusy)
	left := make(chan bool, 1)
	go func() { left <- rec.WriteGap() }()
	<-stalled
	rec.Pass(at, journal.ErrBusy) // it would wait for ever
	if g, _ := rec.Gap(); g.Calls != 2 || g.LastNumber <= g.FirstNumber || g.Why != "log_busy" {
		t.Errorf("while the record is written the gap is %+v", g)
	}
	free()
	if !<-left {
		t.Error("the call that passed meanwhile is said to be on record")
	}
	if rec.WriteGap() {
		t.Error("a gap is left")
	}
	if g, some := rec.Gap(); some {
		t.Errorf("a gap is left: %+v", g)
	}
	var calls, records, last uint64
	for i := range r.log.Size() {
		e, err := r.log.ReadLeaf(i)
		if err != nil {
			t.Fatal(err)
		}
		if e.Leaf.PublicType() != steno.TypeLogGap {
			continue
		}
		var g steno.LogGap
		if err := steno.DecodePublic(e.Leaf.Public, &g); err != nil {
			t.Fatal(err)
		}
		if g.FirstNumber <= last {
			t.Errorf("number %d is told twice", g.FirstNumber)
		}
		calls, records, last = calls+g.Calls, records+1, g.LastNumber
	}
	if calls != 2 || records != 2 {
		t.Errorf("%d records tell of %d calls", records, calls)
	}
}
