// The only script: it picks out prompts. Without it all are shown.
const filter = document.getElementById("filter");
const count = document.getElementById("count");
if (filter) {
  filter.hidden = false;
  const show = () => {
    const wanted = filter.querySelector("input:checked").value;
    let shown = 0;
    for (const row of document.querySelectorAll("article")) {
      row.hidden = wanted !== "all" && !row.dataset.kinds.split(" ").includes(wanted);
      shown += !row.hidden;
    }
    count.textContent = `${shown} shown`;
  };
  filter.addEventListener("change", show);
  show();
}
