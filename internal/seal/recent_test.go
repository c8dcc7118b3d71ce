package seal

import (
	"reflect"
	"testing"

	"github.com/steno-audit/steno"
)

func TestRecallSaysWhatOpenSays(t *testing.T) {
	l := newTestLog(t)
	i := l.append(fullDraft("ana"), noon)
	leaf, _, _ := l.read(i)
	got, ok := l.keys.Recall(leaf)
	if !ok {
		t.Fatal("a record that was sealed a moment ago is not recalled")
	}
	want, err := l.tryOpen(i, steno.SectionIdentity|steno.SectionMetadata|steno.SectionContext)
	if err != nil {
		t.Fatal(err)
	}
	want.System.Details = nil
	if g, w := asJSON(t, got), asJSON(t, want); !reflect.DeepEqual(g, w) {
		t.Errorf("recalled\n%v\nopened\n%v", g, w)
	}
	other := *leaf
	other.BodyHash[0] ^= 1
	if _, ok := l.keys.Recall(&other); ok {
		t.Error("a record with another body is recalled")
	}
}

func TestRecallForgets(t *testing.T) {
	l := newTestLog(t)
	i := l.append(draft("ana"), noon)
	leaf, _, _ := l.read(i)
	if err := l.keys.ErasePerson("acme", l.open(i).Alias); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.keys.Recall(leaf); ok {
		t.Error("a person's record is recalled after the person was erased")
	}
	// What JSON does not say as it was is opened, so that a row is the same before and after a restart.
	i = l.append(draft("b\xffb"), noon)
	leaf, _, _ = l.read(i)
	if o, ok := l.keys.Recall(leaf); ok {
		t.Errorf("recalled as %q, opened as %q", o.Identity.User, l.open(i).Identity.User)
	}
}
