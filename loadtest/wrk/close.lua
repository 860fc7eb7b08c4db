-- As hosts.lua, with a new connection for each request.
--   wrk -t2 -c64 -d10s --latency -s loadtest/wrk/close.lua http://ADDRESS
local folder = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
wrk.headers["Connection"] = "close"
dofile(folder .. "hosts.lua")
