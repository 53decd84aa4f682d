// What panel's table lacks: what comes while it is being built waits until it is, instead of being lost; of cells that
// change only these are drawn, not all rows; and of several sorters the first stays the first (panel turns them around,
// in place, each time it hands them on).
"use strict";

const Table = Bokeh.Models["panel.models.tabulator.DataTabulator"].prototype.default_view.prototype;
const { tableBuilt } = Table;

Table.updateOrAddData = function () {
  const now = this.getData();
  for (const row of this.tabulator.getRows()) {
    const before = row.getData();
    const changed = Object.entries(now[before._index]).filter(([name, value]) => before[name] !== value);
    if (changed.length) row.update(Object.fromEntries(changed));
  }
};
Object.defineProperty(Table, "sorters", {
  get() {
    const sorters = this.model.sorters.map((each) => ({ ...each, column: each.field }));
    return sorters.length ? [{ column: "_index", dir: "asc" }, ...sorters] : [];
  },
});
for (const name of ["setData", "setSorters", "updateOrAddData"]) {
  const act = Table[name];
  Table[name] = function () {
    if (!this._initializing && !this._building && this.tabulator?.initialized) return act.call(this);
    (this.late ??= new Set()).add(name);
    return Promise.resolve();
  };
}
Table.tableBuilt = function () {
  tableBuilt.call(this);
  const late = [...this.late ?? []];
  this.late = null;
  for (const name of late) this[name]();
};
