// An ordinary day: a fixed rate, whether or not answers come. RATE a second (500) for DURATION (1m).
import { common, thresholds, visit } from "./site.js";

export const options = Object.assign({}, common, {
  scenarios: {
    steady: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 500),
      timeUnit: "1s",
      duration: __ENV.DURATION || "1m",
      preAllocatedVUs: 50,
      maxVUs: 1000,
    },
  },
  thresholds: Object.assign(thresholds(250, 0.001), { dropped_iterations: ["count==0"] }),
});

export default visit;
