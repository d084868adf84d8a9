package status

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"reputed/cmd/reputed/internal/maillog"
)

// family is the metrics of one name.
type family struct {
	name   string // without the prefix
	help   string
	kind   prometheus.ValueType
	labels []string
	of     func(*Report, adder) // adds each of them
}

// adder takes a metric: its value, and those of its labels.
type adder func(value float64, labels ...string)

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// prefix is what all names of metrics begin with, but for those of the process that every program has.
const prefix = "reputed_"

// metrics answers with the metrics of a report that is made then, and of the process.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(s), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:           slog.NewLogLogger(s.Log.Handler(), slog.LevelError),
		DisableCompression: true, // it does not leave this host
	})
}

// collector makes metrics of reports. Nothing is counted here, so that nothing is counted twice.
type collector struct {
	server *Server
	descs  []*prometheus.Desc // of families, in their order
	took   *prometheus.Desc
}

func newCollector(s *Server) *collector {
	c := &collector{server: s, took: prometheus.NewDesc(prefix+"message_duration_seconds",
		"Time spent on messages that are not foreign, waiting for the MTA left out.", nil, nil)}
	for i := range families {
		f := &families[i]
		c.descs = append(c.descs, prometheus.NewDesc(prefix+f.name, f.help, f.labels, nil))
	}
	return c
}

// Describe names what there is.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range append(c.descs, c.took) {
		to <- d
	}
}

// Collect makes the metrics. It does not run where net/http catches a panic.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	defer c.server.survive(func() { to <- prometheus.NewInvalidMetric(c.took, errPanic) })
	r := c.server.Report()
	for i := range families {
		desc, kind := c.descs[i], families[i].kind
		families[i].of(r, func(value float64, labels ...string) {
			m, err := prometheus.NewConstMetric(desc, kind, value, labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(desc, err)
			}
			to <- m
		})
	}
	to <- c.histogram(&r.Figures.Mail.Took)
}

// histogram gives durations as Prometheus has them: each class holds those below it.
func (c *collector) histogram(d *maillog.Durations) prometheus.Metric {
	var sum uint64
	below := map[float64]uint64{}
	for i, bound := range maillog.Bounds {
		sum += d.Within[i]
		below[bound.Seconds()] = sum
	}
	sum += d.Within[len(maillog.Bounds)]
	m, err := prometheus.NewConstHistogram(c.took, sum, d.Sum.Seconds(), below)
	if err != nil {
		return prometheus.NewInvalidMetric(c.took, err)
	}
	return m
}
