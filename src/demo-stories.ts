/** The stories of `funprm demo --story NAME`. */
import type { DemoDependencies } from "./cli/commands/demo.ts";
import { learnStory } from "./demo-learn.ts";
import { reviewStory } from "./demo-review.ts";

export const STORIES: DemoDependencies["stories"] = {
  review: reviewStory,
  learn: learnStory,
};
