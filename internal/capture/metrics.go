package capture

import (
	"encoding/json"

	"github.com/prometheus/client_golang/prometheus"
)

type gatewayMetrics struct {
	open        prometheus.Gauge
	ended       *prometheus.CounterVec
	durable     prometheus.Histogram
	alerts      prometheus.Counter
	logFailures prometheus.Counter
}

func newGatewayMetrics(reg prometheus.Registerer) *gatewayMetrics {
	m := &gatewayMetrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "steno_exchanges_open", Help: "Calls under way."}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "steno_exchanges_ended_total", Help: "Calls that ended, by how they ended.",
		}, []string{"end"}),
		durable: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "steno_record_durable_seconds", Help: "From a finished draft to its durable record: sealing, queueing, writing, syncing.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		alerts:      prometheus.NewCounter(prometheus.CounterOpts{Name: "steno_alerts_total", Help: "Alerts raised by checks."}),
		logFailures: prometheus.NewCounter(prometheus.CounterOpts{Name: "steno_log_failures_total", Help: "Records that could not be written."}),
	}
	if reg != nil {
		reg.MustRegister(m.open, m.ended, m.durable, m.alerts, m.logFailures)
	}
	return m
}

// details builds the details of a system action from name and value pairs.
func details(pairs ...any) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		b, err := json.Marshal(pairs[i+1])
		if err != nil {
			panic(err) // only numbers and strings are given
		}
		out[pairs[i].(string)] = b // names are literals
	}
	return out
}
