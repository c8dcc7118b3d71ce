package seal

import "sync"

// cache is a bounded map that forgets what was not used for a while: two generations, of which the older is
// dropped when the younger is full. Forgetting is always harmless here. Safe for concurrent use.
type cache[K comparable, V any] struct {
	mu         sync.Mutex
	limit      int // entries of both generations
	young, old map[K]V
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: max(limit, 2), young: map[K]V{}}
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.young[k]
	if !ok {
		if v, ok = c.old[k]; ok {
			c.add(k, v)
		}
	}
	return v, ok
}

func (c *cache[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(k, v)
}

func (c *cache[K, V]) add(k K, v V) {
	if len(c.young) >= c.limit/2 {
		c.young, c.old = make(map[K]V), c.young
	}
	c.young[k] = v
}

// drop removes what the condition holds for.
func (c *cache[K, V]) drop(gone func(K, V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range []map[K]V{c.young, c.old} {
		for k, v := range m {
			if gone(k, v) {
				delete(m, k)
			}
		}
	}
}
