import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // The judge's tests need both cores for themselves: a neighbour makes a program late that is not.
    maxWorkers: 1,
    pool: "forks",
  },
});
