// How many columns make the tiles largest.

const SHAPE = 16 / 9;

/** {columns, width, height} px of *count* equal tiles in a box of *boxWidth* x *boxHeight*. */
export function largestTiles(count, boxWidth, boxHeight, gap) {
  let best = { columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= Math.max(1, count); columns += 1) {
    const rows = Math.ceil(count / columns);
    const cellWidth = (boxWidth - gap * (columns - 1)) / columns;
    const cellHeight = (boxHeight - gap * (rows - 1)) / rows;
    const width = Math.floor(Math.min(cellWidth, cellHeight * SHAPE));
    if (width > best.width) best = { columns, width, height: Math.floor(width / SHAPE) };
  }
  return best;
}
