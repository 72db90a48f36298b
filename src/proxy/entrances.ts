/** Sockets that have not shown their token yet: nobody may take all the room that there is for them. */

const MOST = 64;
const MOST_OF_ADDRESS = 16;

/** Counts those that wait, by address. */
export class Entrances {
  #all = 0;
  readonly #byAddress = new Map<string, number>();

  /**
   * @param address of the caller; all of a unix socket have one
   * @returns gives the room back, a second call does nothing; `undefined` where there is none
   */
  enter(address = ''): (() => void) | undefined {
    const taken = this.#byAddress.get(address) ?? 0;
    if (this.#all >= MOST || taken >= MOST_OF_ADDRESS) return undefined;
    this.#all++;
    this.#byAddress.set(address, taken + 1);
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#all--;
      const left = (this.#byAddress.get(address) ?? 1) - 1;
      if (left > 0) this.#byAddress.set(address, left);
      else this.#byAddress.delete(address);
    };
  }
}
