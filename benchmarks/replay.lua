-- For wrk: sends the requests of a file in turn, over and over, and ends with one line of figures.
-- Each line of the file: method, path, token and body, with tabs between.

local requests, sent = {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local method, path, token, more, body = line:match("^(.-)\t(.-)\t(.-)\t(.-)\t(.*)$")
    local headers = {Authorization = "Bearer " .. token}
    if body ~= "" then headers["Content-Type"] = "application/json" end
    if more ~= "" then headers["If-None-Match"] = more end
    requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
  end
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
  io.write(string.format('\n{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    failed + summary.errors.timeout))
end
