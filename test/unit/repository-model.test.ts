import { describe, expect, it } from "vitest";
import { parseRepoConfig } from "../../src/config/repo-config.ts";
import { BUNDLED_MODELS, DEFAULT_REPO_CONFIG } from "../../src/domain/repo-config.ts";
import { chooseJudges, chooseReward } from "../../src/flows/choose-judges.ts";
import type { RewardModel } from "../../src/ports.ts";

function world() {
  const asked: string[] = [];
  const named = (name: string) => ({ info: { name } }) as RewardModel;
  return {
    asked,
    scorers: {
      model: named("operator's"),
      bundled: async (name: string) => {
        asked.push(name);
        return named(name);
      },
    },
  };
}

describe("the reward model that a repository names", () => {
  it("scores instead of the operator's, which scores where none is named and opens no bundle", async () => {
    for (const [text, name, opened] of [
      ["prm: { model: funprm-mini-corrected }", "funprm-mini-corrected", ["funprm-mini-corrected"]],
      ["prm: { model: funprm-mini-review }", "funprm-mini-review", ["funprm-mini-review"]],
      ["prm: { model: null }", "operator's", []],
      ["prm: { backend: embedded }", "operator's", []],
    ] as const) {
      const { asked, scorers } = world();
      const { config, problems } = parseRepoConfig(text);
      expect(problems).toEqual([]);
      const { model } = await chooseJudges(config, scorers, () => "no LLM is configured");
      expect([model.info.name, asked]).toEqual([name, opened]);
      // What a run says of its scorer rests on this.
      expect(model.info === scorers.model.info).toBe(opened.length === 0);
    }
  });

  it("is the operator's in settings that were stored before there was such a key", async () => {
    const { scorers } = world();
    const stored = { ...DEFAULT_REPO_CONFIG, prm: { backend: "embedded" } } as typeof DEFAULT_REPO_CONFIG;
    expect((await chooseReward(stored, scorers)).info.name).toBe("operator's");
  });

  it("is one that ships: another name is refused with its line and what there is", () => {
    expect(() => parseRepoConfig("version: 1\nprm:\n  model: ../../etc\n")).toThrow(/line 3.*prm\.model/s);
    for (const name of BUNDLED_MODELS) expect(parseRepoConfig(`prm: { model: ${name} }`).config.prm.model).toBe(name);
  });

  it("stands in when no language model can judge, and is named", async () => {
    const { scorers } = world();
    const { config } = parseRepoConfig("prm: { backend: llm-judge, model: funprm-mini-corrected }");
    const { model, missing } = await chooseJudges(config, scorers, () => "no LLM is configured");
    expect(model.info.name).toBe("funprm-mini-corrected");
    expect(missing).toEqual([
      "No language model judged the functions: no LLM is configured; the reward model funprm-mini-corrected scored all.",
    ]);
  });
});
