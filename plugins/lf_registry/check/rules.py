def check_recipe(recipe):
    return []
