-- Small GETs over many hosts and paths, the same ones in every run.
--   wrk -t2 -c64 -d10s --latency -s loadtest/wrk/hosts.lua http://ADDRESS
-- Environment: HOSTS (1000) how many, HOST (h%d.shop.test) their pattern, URI (/p%d/item) the pattern of the path, PATHS (10).
local hosts = tonumber(os.getenv("HOSTS") or 1000)
local paths = tonumber(os.getenv("PATHS") or 10)
local host = os.getenv("HOST") or "h%d.shop.test"
local uri = os.getenv("URI") or "/p%d/item"

local requests, turn = {}, 0

function init()
  local seed = 42
  for number = 1, 4096 do
    seed = (seed * 1103515245 + 12345) % 2147483648
    local at, path = math.floor(seed / 65536) % hosts, math.floor(seed / 97) % paths
    local headers = {}
    for name, value in pairs(wrk.headers) do headers[name] = value end
    headers["Host"] = host:format(at)
    requests[number] = wrk.format("GET", uri:format(path), headers)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
