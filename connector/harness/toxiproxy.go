package harness

import "go.uber.org/goleak"

// ToxiproxyLeaks are the goroutines that toxiproxy leaves behind: when one side
// of a connection is cut, nobody takes what is still on its way to it.
func ToxiproxyLeaks() []goleak.Option {
	const module = "github.com/Shopify/toxiproxy/v2/"
	var options []goleak.Option
	for _, stuck := range []string{
		"stream.(*ChanWriter).Write", "stream.(*ChanReader).Read", "toxics.(*NoopToxic).Pipe",
		"toxics.(*BandwidthToxic).Pipe", "toxics.(*LatencyToxic).Pipe", "toxics.(*LimitDataToxic).Pipe",
	} {
		options = append(options, goleak.IgnoreTopFunction(module+stuck))
	}
	return options
}
