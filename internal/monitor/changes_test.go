package monitor

import (
	"fmt"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// said is what the records of changes say.
func (r *rig) said() []string {
	r.t.Helper()
	var out []string
	for _, o := range r.events("governance.model_changed") {
		out = append(out, fmt.Sprintf("%s %s: %s → %s approved=%v times=%d", o.Identity.Key, get[string](r.t, o.System, "member"),
			get[string](r.t, o.System, "before"), get[string](r.t, o.System, "after"), get[bool](r.t, o.System, "approved"), get[int](r.t, o.System, "times")))
	}
	return out
}

func (r *rig) expect(want ...string) {
	r.t.Helper()
	if got := r.said(); fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("on record:\n%q\nwant\n%q", got, want)
	}
}

func TestAChangeOfTheModelIsNoticed(t *testing.T) {
	r := newRig(t)
	done := r.start()
	first := r.call(call{key: "bot", asked: "m", answered: "m-1", fingerprint: "fp_a"})
	r.call(call{key: "bot", asked: "m", answered: "m-1", fingerprint: "fp_a"})
	r.call(call{key: "other", asked: "m", answered: "m-2", fingerprint: "fp_b"}) // a route of its own
	second := r.call(call{key: "bot", asked: "m", answered: "m-2", fingerprint: "fp_b"})
	r.call(call{key: "bot", asked: "n", answered: "n-1"})
	done()
	r.expect(
		"bot gen_ai.response.model: m-1 → m-2 approved=false times=1",
		"bot openai.response.system_fingerprint: fp_a → fp_b approved=false times=1",
		"bot gen_ai.request.model: m → n approved=false times=1",
	)
	o := r.events("governance.model_changed")[0]
	if o.Exchange != second || o.Exchange == first || len(o.Links) != 2 || o.Links[0].Rel != "first" || o.System.Target != "openai chat_completions" {
		t.Errorf("it is linked to %s (%v), target %q; want %s", o.Exchange, o.Links, o.System.Target, second)
	}
	if before, err := r.log.Read(*o.Links[1].Leaf); err != nil || before.Leaf.Exchange != first {
		t.Errorf("the value before was seen in %v, %v; want %s", before, err, first)
	}
}

// TestAChangeIsNoticedOnce: whether the process stops well or dies before its state is saved, a change is on record once,
// and what was before is known from the log.
func TestAChangeIsNoticedOnce(t *testing.T) {
	for _, died := range []bool{false, true} {
		t.Run(fmt.Sprintf("died=%v", died), func(t *testing.T) {
			r := newRig(t)
			done := r.start()
			r.call(call{key: "bot", asked: "m", answered: "m-1"})
			done()
			state, err := r.fs.ReadFile("/d/followers/monitor")
			if err != nil {
				t.Fatal(err)
			}
			done = r.start()
			r.call(call{key: "bot", asked: "m", answered: "m-2"})
			done()
			if died { // what it saved is lost, what it recorded is not
				if err := disk.WriteFile(r.fs, "/d/followers/monitor", state); err != nil {
					t.Fatal(err)
				}
			}
			r.start()()
			r.expect("bot gen_ai.response.model: m-1 → m-2 approved=false times=1")
		})
	}
}

func TestBackAndForthIsRecordedOnceAnHour(t *testing.T) {
	r := newRig(t)
	done := r.start()
	for i := range 10 {
		r.at(noon.Add(time.Duration(i) * time.Minute))
		r.call(call{key: "bot", asked: "m", answered: fmt.Sprint("m-", i%2)})
	}
	r.at(noon.Add(2 * time.Hour))
	r.call(call{key: "bot", asked: "m", answered: "m-0"})
	done()
	r.expect(
		"bot gen_ai.response.model: m-0 → m-1 approved=false times=1",
		"bot gen_ai.response.model: m-1 → m-0 approved=false times=1",
		"bot gen_ai.response.model: m-1 → m-0 approved=false times=4",
	)
}

func TestAnApprovalCoversAChange(t *testing.T) {
	r := newRig(t)
	govern := func(typ, target, tenant string) {
		r.record(&steno.Draft{Event: steno.Event{
			ID: steno.NewID(noon), Type: "governance." + typ, Time: noon, Identity: &steno.Identity{Tenant: tenant}, Model: &steno.Model{Asked: target},
			Origin: &steno.Origin{Source: "s", ID: target + typ + tenant}, System: &steno.System{Action: typ, Actor: "eva", Target: target, Reason: "reviewed"},
		}}, 0)
	}
	done := r.start()
	r.call(call{key: "bot", asked: "m", answered: "m-1"})
	govern("model_approved", "m-2", "acme")
	govern("model_approved", "m-3", "somebody else")
	govern("model_approved", "m-4", "acme")
	govern("model_retired", "m-4", "acme")
	for _, m := range []string{"m-2", "m-3", "m-4"} {
		r.call(call{key: "bot", asked: "m", answered: m})
	}
	done()
	r.expect(
		"bot gen_ai.response.model: m-1 → m-2 approved=true times=1",
		"bot gen_ai.response.model: m-2 → m-3 approved=false times=1",
		"bot gen_ai.response.model: m-3 → m-4 approved=false times=1",
	)
}

func TestADamagedStateBeginsAgain(t *testing.T) {
	r := newRig(t)
	done := r.start()
	r.call(call{key: "bot", asked: "m", answered: "m-1"})
	r.call(call{key: "bot", asked: "m", answered: "m-2"})
	done()
	if err := disk.WriteFile(r.fs, "/d/followers/monitor", []byte("{")); err != nil {
		t.Fatal(err)
	}
	r.start()()
	r.expect("bot gen_ai.response.model: m-1 → m-2 approved=false times=1")
}
