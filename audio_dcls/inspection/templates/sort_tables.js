for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const head = button.parentElement, row = head.parentElement, body = head.closest("table").tBodies[0];
  const place = [...row.cells].indexOf(head), up = head.getAttribute("aria-sort") === "descending";
  const key = line => line.cells[place].textContent.trim();
  const number = text => Number(text.replace(/[,%]/g, "") || NaN);
  const lines = [...body.rows].sort((a, b) => {
    const x = number(key(a)), y = number(key(b));
    return Number.isNaN(x) || Number.isNaN(y) ? key(a).localeCompare(key(b)) : x - y;
  });
  for (const other of row.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...(up ? lines : lines.reverse()));
};
