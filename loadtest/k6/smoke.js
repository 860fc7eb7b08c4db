// Does it work at all? One user for ten seconds, nothing may fail.
import { common, thresholds, visit } from "./site.js";

export const options = Object.assign({}, common, {
  vus: 1,
  duration: __ENV.DURATION || "10s",
  thresholds: thresholds(500, 0),
});

export default visit;
