/**
 * Dollars of one run, shared by everything in it that pays. Reserved before a call and given back when the real cost is
 * known, so that calls side by side never spend the same dollar.
 */
export type Budget = {
  /** What is neither spent nor reserved; below zero when a call cost more than was reserved for it. */
  left(): number;
  /** False, and nothing reserved, when less than `usd` is left. Nothing to pay always fits. */
  reserve(usd: number): boolean;
  giveBack(usd: number): void;
};

export function createBudget(usd: number): Budget {
  let left = usd;
  return {
    left: () => left,
    reserve(amount) {
      if (amount > 0 && amount > left) return false;
      left -= amount;
      return true;
    },
    giveBack(amount) {
      left += amount;
    },
  };
}
