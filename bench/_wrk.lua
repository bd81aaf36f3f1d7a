-- Sends prepared requests, one after the other, and prints what came of them as one line of JSON.
-- wrk -s _wrk.lua URL -- FILE RECORD_BYTES
local file, record

function init(arguments)
   file = assert(io.open(arguments[1], "rb"))
   record = tonumber(arguments[2])
end

function request()
   local bytes = file:read(record)
   if bytes == nil then
      -- Every order once only: a second round would measure duplicates.
      io.stderr:write("the prepared requests are used up\n")
      os.exit(1)
   end
   return bytes
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      'JSON {"answers": %d, "seconds": %.6f, "not_2xx": %d, "unanswered": %d, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f}\n',
      summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
