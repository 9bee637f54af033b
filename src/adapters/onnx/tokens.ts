/** Text → token ids by the encode rule's pieces (domain/encode.ts). */
import { Tokenizer } from "@huggingface/tokenizers";
import { pieces } from "../../domain/encode.ts";

export type Tokens = { ids(text: string): number[]; stepId: number; padId: number };

/** Throws an `Error` naming the added token that `tokenizer.json` does not hold. */
export function createTokens(tokenizerJson: object, stepToken: string, padToken: string): Tokens {
  const tokenizer = new Tokenizer(tokenizerJson, {});
  const idOf = (token: string) => {
    const id = tokenizer.token_to_id(token);
    if (id === undefined) throw new Error(`tokenizer.json has no token ${token}`);
    return id;
  };
  return {
    ids: (text) => pieces(text).flatMap((piece) => tokenizer.encode(piece, { add_special_tokens: false }).ids),
    stepId: idOf(stepToken),
    padId: idOf(padToken),
  };
}
