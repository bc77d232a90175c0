/** A value that can be watched. Follows Svelte's store contract, so components read it as `$store`, without importing Svelte here. */

export interface Readable<T> {
  get(): T;
  /** Calls `listener` at once and after every change; returns the function that ends it. */
  subscribe(listener: (value: T) => void): () => void;
}

export class Store<T> implements Readable<T> {
  #value: T;
  #listeners = new Set<(value: T) => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get(): T {
    return this.#value;
  }

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of [...this.#listeners]) listener(value);
  }

  /** Replaces some fields of an object value. */
  patch(change: Partial<T>): void {
    this.set({ ...this.#value, ...change });
  }

  subscribe(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#value);
    return () => this.#listeners.delete(listener);
  }
}
