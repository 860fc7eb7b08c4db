// Hours of the same: what leaks shows. RATE a second (200) for DURATION (2h); watch the gateway's memory beside it.
import { common, thresholds, visit } from "./site.js";

export const options = Object.assign({}, common, {
  scenarios: {
    soak: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 200),
      timeUnit: "1s",
      duration: __ENV.DURATION || "2h",
      preAllocatedVUs: 50,
      maxVUs: 500,
    },
  },
  thresholds: thresholds(250, 0.0001),
});

export default visit;
