-- One POST over and over; the summary as a line of JSON. The variables are set by load.ts.
wrk.method = "POST"
wrk.body = os.getenv("BENCH_BODY")
local pad = tonumber(os.getenv("BENCH_PAD"))
if pad > 0 then wrk.body = '{"pad":"' .. string.rep("x", pad) .. '"}' end
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")

function done(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.timeout
  local line = '{"requests":%d,"refused":%d,"errors":%d,"micros":%d}\n'
  io.write(line:format(summary.requests, e.status, errors, summary.duration))
end
