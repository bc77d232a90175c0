import { beforeEach, describe, expect, it } from 'vitest';
import type { Rect } from '../src/state/geometry';
import { draggable } from '../src/ui/drag';

const START = { x: 900, y: 600, width: 256, height: 144 };

/** An element as far as dragging knows one. */
class Box extends EventTarget {
  captured: number[] = [];
  setPointerCapture = (id: number) => void this.captured.push(id);
  /** What is pressed in it: a button, or the picture. */
  closest: () => unknown = () => null;

  send(type: string, x: number, y: number, change: object = {}) {
    const event = Object.assign(new Event(type), {
      pointerId: 1,
      button: 0,
      isPrimary: true,
      clientX: x,
      clientY: y,
      ...change,
    });
    this.dispatchEvent(event);
  }
}

let box: Box;
let moves: Rect[];
let drops: (Rect | null)[];
let end: () => void;

beforeEach(() => {
  box = new Box();
  moves = [];
  drops = [];
  end = draggable({
    from: () => START,
    move: (rect) => moves.push(rect),
    drop: (rect) => drops.push(rect),
  })(box as unknown as HTMLElement);
});

describe('a picture', () => {
  it('follows the pointer from the first moment, however quick it is, and is dropped where it is', () => {
    box.send('pointerdown', 1000, 650);
    expect(box.captured).toEqual([1]);
    box.send('pointermove', 200, 150);
    box.send('pointerup', 200, 150);
    box.send('lostpointercapture', 200, 150);
    expect(moves).toEqual([{ ...START, x: 100, y: 100 }]);
    expect(drops).toEqual([{ ...START, x: 100, y: 100 }]);
  });

  it('is given up where it can be moved no longer', () => {
    box.send('pointerdown', 1000, 650);
    box.send('pointermove', 200, 150);
    end();
    expect(drops).toEqual([null]);
  });

  it('stays at a press that hardly moves', () => {
    box.send('pointerdown', 1000, 650);
    box.send('pointermove', 1002, 651);
    box.send('pointerup', 1002, 651);
    expect([moves, drops]).toEqual([[], []]);
  });

  it('goes back when the pointer is lost', () => {
    box.send('pointerdown', 1000, 650);
    box.send('pointermove', 500, 650);
    box.send('lostpointercapture', 500, 650);
    box.send('pointermove', 300, 650);
    expect(moves).toHaveLength(1);
    expect(drops).toEqual([null]);
  });

  it('is not dragged by its buttons, by another mouse button, or by a second finger', () => {
    box.closest = () => 'button';
    box.send('pointerdown', 1000, 650);
    box.closest = () => null;
    box.send('pointerdown', 1000, 650, { button: 2 });
    box.send('pointerdown', 1000, 650, { isPrimary: false, pointerId: 2 });
    box.send('pointermove', 500, 650);
    expect([box.captured, moves]).toEqual([[], []]);
  });

  it('is left alone once it does not float any more', () => {
    end();
    box.send('pointerdown', 1000, 650);
    box.send('pointermove', 500, 650);
    expect(moves).toEqual([]);
  });
});
