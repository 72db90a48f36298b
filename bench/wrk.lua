-- One POST over and over; the summary as a line of JSON. The variables are set by load.ts.
wrk.method = "POST"
wrk.body = os.getenv("BENCH_BODY")
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")

function done(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  local line = '{"requests":%d,"errors":%d,"bytes":%d,"micros":%d,"p50":%d,"p99":%d}\n'
  io.write(line:format(summary.requests, errors, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99)))
end
