// The only script: it offers to show one kind of problem. Without it all problems are shown.
const filter = document.getElementById("filter");
if (filter) {
  filter.hidden = false;
  filter.addEventListener("change", (event) => {
    for (const row of document.querySelectorAll("tr[data-severity]")) {
      row.hidden = event.target.value !== "all" && event.target.value !== row.dataset.severity;
    }
  });
}
