/** Which candidates the step heat map shows: of the first problems a passing and a failing program of several functions. */

import type { Judged } from "./judge-pools.ts";
import type { HeatRow } from "./report.ts";
import { seeded } from "./statistics.ts";

const PROBLEMS = 5;
/** More do not fit a row of a phone. */
const MOST_STEPS = 12;

/** By a fixed draw of problems, not by what looks well. */
export function heatRows(judged: readonly Judged[]): HeatRow[] {
  const random = seeded(0);
  const order = [...judged]
    .sort((a, b) => (a.pool.group < b.pool.group ? -1 : 1))
    .map((one) => ({ one, key: random() }))
    .sort((a, b) => a.key - b.key);
  const rows: HeatRow[] = [];
  const seen = new Set<string>();
  for (const { one } of order) {
    const { pool, passes } = one;
    const shown = [1, 0].map((verdict) =>
      pool.members.find(({ functions, rewards }, at) => {
        const several = functions.length >= 2 && functions.length <= MOST_STEPS;
        return passes[at] === verdict && several && rewards.function !== undefined;
      }),
    );
    if (seen.has(pool.group) || shown.includes(undefined)) continue;
    seen.add(pool.group);
    for (const [at, member] of shown.entries())
      rows.push({
        problem: pool.problem,
        generator: pool.generator,
        passed: at === 0,
        steps: member!.functions.map(({ name }, k) => ({ name, reward: member!.rewards.function!.rewards[k] ?? null })),
      });
    if (seen.size === PROBLEMS) break;
  }
  return rows;
}
